/** Columns of text, the first line their titles; numbers stand right. */
export function table(titles: string[], rows: (string | number)[][]): string {
  const lines = [titles, ...rows];
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => String(line[column]).length)));
  const isNumber = titles.map((_, column) => rows.length > 0 && rows.every((row) => /^-?\d/.test(String(row[column]))));
  return lines.map((line) => line
    .map((cell, column) => (isNumber[column] ? String(cell).padStart(widths[column]!) : String(cell).padEnd(widths[column]!)))
    .join("  ").trimEnd()).join("\n");
}
