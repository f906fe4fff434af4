/** How many single-character edits lead from one text to the other. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replace = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replace, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** The known word that was probably meant, or undefined. */
function suggest(word: string, known: readonly string[]): string | undefined {
  const bounded = word.slice(0, 64).toLowerCase();
  const ranked = known.map((candidate) => ({ candidate, distance: editDistance(bounded, candidate) }));
  const best = ranked.toSorted((a, b) => a.distance - b.distance)[0];
  if (best === undefined || best.distance > Math.ceil(best.candidate.length / 3)) return undefined;
  return best.candidate;
}

/** ` (did you mean X?)`, or nothing. */
export function hint(word: string, known: readonly string[], prefix = ""): string {
  const meant = suggest(word, known);
  return meant === undefined ? "" : ` (did you mean ${prefix}${meant}?)`;
}
