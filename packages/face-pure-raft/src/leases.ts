import {
  type Catalog,
  type FaceLeases,
  InvalidValueError,
  isFabricError,
  type LeaseId,
  type LeaseOptions,
  type LeasePage,
  type LeaseResourcePage,
  parseLeaseId,
  type ResourceRef,
  resourceKey,
  resourceRefOfKey,
} from "@revoada/fabric";

/** Most leases, or resources of one, that a page holds. */
const pageLimit = 1_000;

/** The leases of a catalog, with resources in the place of keys. `running` throws while the face does not run. */
export function faceLeases(catalog: Catalog, running: () => void): FaceLeases {
  const { leases } = catalog;
  return {
    get supported() {
      return leases.supported;
    },
    async grant(request, options) {
      running();
      return leases.grant(request, options);
    },
    async keepAlive(id, options) {
      running();
      return leases.keepAlive(parseLeaseId(id), options);
    },
    async revoke(id, options) {
      running();
      return leases.revoke(parseLeaseId(id), options);
    },
    async timeToLive(id, options) {
      running();
      return leases.timeToLive(parseLeaseId(id), options);
    },
    async list(options = {}) {
      running();
      return listPage(catalog, options);
    },
    async resources(id, options = {}) {
      running();
      return resourcePage(catalog, parseLeaseId(id), options);
    },
  };
}

async function listPage(
  catalog: Catalog,
  { after, limit, ...options }: LeaseOptions & { readonly after?: LeaseId; readonly limit?: number },
): Promise<LeasePage> {
  const most = checkLimit(limit);
  const from = after === undefined ? 0 : parseLeaseId(after, "after");
  const rest = (await catalog.leases.list(options)).filter(({ id }) => id > from);
  const leases = rest.slice(0, most);
  const last = leases.at(-1);
  return { leases, ...(rest.length > most && last !== undefined ? { next: last.id } : {}) };
}

async function resourcePage(
  catalog: Catalog,
  id: LeaseId,
  { after, limit, ...options }: LeaseOptions & { readonly after?: ResourceRef; readonly limit?: number },
): Promise<LeaseResourcePage> {
  const most = checkLimit(limit);
  const from = after === undefined ? undefined : resourceKey(after);
  const rest = (await catalog.leases.keys(id, options)).flatMap((key) =>
    from !== undefined && Buffer.compare(key, from) <= 0 ? [] : refOf(key),
  );
  const resources = rest.slice(0, most);
  const next = rest.length > most ? resources.at(-1) : undefined;
  return { resources, ...(next === undefined ? {} : { next }) };
}

/** The resource that a key names, where it names one. */
function refOf(key: Uint8Array): readonly ResourceRef[] {
  try {
    return [resourceRefOfKey(key)];
  } catch (error) {
    if (!isFabricError(error, "FABRIC_INVALID_VALUE")) throw error;
    return [];
  }
}

function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return pageLimit;
  if (Number.isSafeInteger(limit) && limit >= 1) return Math.min(limit, pageLimit);
  throw new InvalidValueError("limit", limit, "a whole number from 1");
}
