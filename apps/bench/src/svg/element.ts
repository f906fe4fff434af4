const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text that stands in a document and means itself. */
export function escapeText(text: string): string {
  return text.replaceAll(/[&<>"]/g, (each) => escapes[each] as string);
}

/** Coordinates need no more than a tenth. */
function attributeText(value: string | number): string {
  return typeof value === "number" ? String(Math.round(value * 10) / 10) : escapeText(value);
}

/** An element with attributes and what is inside of it, which is markup already. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  inside: string | readonly string[] = "",
): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${attributeText(value)}"`);
  const content = typeof inside === "string" ? inside : inside.join("\n");
  return content === "" ? `<${name}${written.join("")}/>` : `<${name}${written.join("")}>${content}</${name}>`;
}

/** A line of text. */
export function label(text: string, attributes: Readonly<Record<string, string | number>>): string {
  return element("text", attributes, escapeText(text));
}
