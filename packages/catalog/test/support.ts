import type { Catalog, CatalogOperation, Revision } from "@revoada/fabric";

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
export const show = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const put = (key: string, value: string): CatalogOperation => ({
  type: "put",
  key: text(key),
  value: text(value),
});
export const remove = (key: string, end?: string): CatalogOperation => ({
  type: "delete",
  key: text(key),
  ...(end === undefined ? {} : { end: text(end) }),
});
export const get = (key: string, end?: string): CatalogOperation => ({
  type: "get",
  key: text(key),
  ...(end === undefined ? {} : { end: text(end) }),
});

export const everything = { start: new Uint8Array(0), end: Uint8Array.of(255) };

/** All keys and values, at a revision. */
export async function all(catalog: Catalog, revision?: number): Promise<[string, string][]> {
  const { entries } = await catalog.range({
    ...everything,
    ...(revision === undefined ? {} : { revision: revision as Revision }),
  });
  return entries.map(({ key, value }) => [show(key), show(value)]);
}
