/** How many kinds of marks can be told apart. */
export const markCount = 5;

interface Theme {
  readonly back: string;
  readonly text: string;
  readonly soft: string;
  readonly rule: string;
  readonly series: readonly string[];
}

const light: Theme = {
  back: "#ffffff",
  text: "#1f2328",
  soft: "#59636e",
  rule: "#e3e7ec",
  series: ["#2f6fde", "#d9541e", "#138a63", "#8a4fbf", "#6b7280"],
};

const dark: Theme = {
  back: "#0d1117",
  text: "#e6edf3",
  soft: "#9198a1",
  rule: "#2a3038",
  series: ["#6ea0ff", "#ff8a5c", "#3ecf9b", "#c08cf0", "#a3adba"],
};

// Spelt out for each theme: not every program that draws pictures knows variables in a style sheet.
function rulesOf({ back, text, soft, rule, series }: Theme): string {
  const rules = [
    `.back{fill:${back}}text{fill:${text}}.soft,.tick{fill:${soft}}`,
    `.rule{stroke:${rule}}.axis{stroke:${soft}}.middle{stroke:${text}}`,
    ...series.map((colour, at) => `.s${at}{stroke:${colour}}.f${at}{fill:${colour};stroke:${back}}`),
  ];
  return rules.join("");
}

/** One sheet for light and dark pages: pictures follow what the reader's system prefers. */
export const styleSheet: string = [
  "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:12px}",
  ".title{font-size:15px;font-weight:600}.panel{font-size:13px;font-weight:600}.tick{font-size:11px}",
  ".rule,.axis{stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round}.middle{stroke-width:2}",
  rulesOf(light),
  `@media (prefers-color-scheme:dark){${rulesOf(dark)}}`,
].join("");
