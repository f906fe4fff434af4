/**
 * YAML, JSON and native CBOR adapters behind one registry: text or bytes to resource documents and back, with positions in every refusal.
 *
 * @packageDocumentation
 */
export type { TextPosition } from "./errors.ts";
export { FormatInvalidError, FormatUnsupportedError } from "./errors.ts";
export { jsonFormat } from "./json.ts";
export { nativeFormat } from "./native.ts";
export { maxDepth, maxDocumentBytes, maxDocuments } from "./plain.ts";
export { defaultFormats, formatRegistry } from "./registry.ts";
export { yamlFormat } from "./yaml.ts";
