import { notMeasured, type NamedTable } from "./tables.ts";

const opening = /<!-- figures: ([a-z-]+) -->/g;
const closing = "<!-- end of figures -->";

/**
 * Puts tables and their pictures in place of what stands between their marks in a page, which are comments in Markdown. A place for
 * which there is no table keeps what it has. Throws where a mark has no end, or a table no place.
 */
export function fillPage(page: string, tables: readonly NamedTable[]): string {
  const open = new Map(tables.map((table) => [table.name, table]));
  let filled = "";
  let from = 0;
  for (const match of page.matchAll(opening)) {
    const [mark, name = ""] = match;
    const end = page.indexOf(closing, match.index);
    if (end < 0) throw new Error(`the figures ${JSON.stringify(name)} have no end in the page`);
    const table = open.get(name);
    if (table === undefined) continue;
    open.delete(name);
    filled += `${page.slice(from, match.index)}${mark}\n\n${contentOf(table)}\n\n`;
    from = end;
  }
  const [missing] = open.keys();
  if (missing !== undefined) throw new Error(`the page has no place for the figures ${JSON.stringify(missing)}`);
  return filled + page.slice(from);
}

function contentOf({ markdown, pictures = [] }: NamedTable): string {
  if (markdown === undefined) return notMeasured;
  return [markdown, ...pictures.map(([file, alternative]) => `![${alternative}](plots/${file})`)].join("\n\n");
}
