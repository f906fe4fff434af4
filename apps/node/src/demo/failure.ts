import { FabricError } from "@revoada/fabric";

/** Something that the demonstration waited for, or was promised, did not come. */
export class DemonstrationError extends FabricError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super("DEMONSTRATION_FAILED", message, options);
  }
}
