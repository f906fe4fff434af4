import { element } from "./element.ts";
import { markCount } from "./style.ts";

/** A mark whose shape, not its colour alone, says which series it belongs to. */
export function mark(kind: number, x: number, y: number, size = 4): string {
  const which = kind % markCount;
  const attributes = { class: `f${which}`, "stroke-width": 1 };
  const polygon = (points: readonly (readonly [number, number])[]): string =>
    element("polygon", {
      ...attributes,
      points: points.map(([dx, dy]) => `${(x + dx * size).toFixed(1)},${(y + dy * size).toFixed(1)}`).join(" "),
    });
  switch (which) {
    case 0:
      return element("circle", { ...attributes, cx: x, cy: y, r: size });
    case 1:
      return element("rect", { ...attributes, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
    case 2:
      return polygon([
        [0, -1.3],
        [1.2, 0.9],
        [-1.2, 0.9],
      ]);
    case 3:
      return polygon([
        [0, -1.4],
        [1.4, 0],
        [0, 1.4],
        [-1.4, 0],
      ]);
    default:
      return polygon([
        [0, 1.3],
        [1.2, -0.9],
        [-1.2, -0.9],
      ]);
  }
}
