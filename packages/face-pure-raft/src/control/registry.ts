import { type Control, type ControlHandler, InvalidValueError } from "@revoada/fabric";
import { ControlDuplicateMethodError } from "./errors.ts";

/** Verbs of the face stand under this prefix on the socket. */
export const verbPrefix = "face.";
const methodPattern = /^[A-Za-z][A-Za-z0-9.-]{0,62}$/;

/** The methods of a node, as its control server looks them up. */
export interface ControlRegistry extends Control {
  find(method: string): ControlHandler | undefined;
}

/** An empty registry. Methods may be registered and withdrawn while it is served. */
export function controlRegistry(): ControlRegistry {
  const handlers = new Map<string, ControlHandler>();
  return {
    register(method, handler) {
      if (!methodPattern.test(method) || method.startsWith(verbPrefix)) {
        throw new InvalidValueError(
          "method",
          method,
          `1 to 63 letters, digits, dots and dashes, not beginning with ${verbPrefix}`,
        );
      }
      if (handlers.has(method)) throw new ControlDuplicateMethodError(method);
      handlers.set(method, handler);
      return () => {
        if (handlers.get(method) === handler) handlers.delete(method);
      };
    },
    methods: () => [...handlers.keys()].toSorted(),
    find: (method) => handlers.get(method),
  };
}
