// Numbers as people read them, and the ticks of axes.

const UNITS = ["", "k", "M", "G", "T", "P"];

// 1234567 as "1.23 M": three figures.
export function figures(value: number, unit: string): string {
  if (!Number.isFinite(value)) return `${value} ${unit}`;
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 999.5 && power < UNITS.length - 1) {
    rest /= 1000;
    power += 1;
  }
  const digits = Number.isInteger(rest) && power === 0 ? String(rest) : three(rest);
  return `${digits} ${UNITS[power]}${unit}`.trim();
}

function three(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// Bytes by powers of 1024: "12.0 KiB".
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 1023.5 && power < units.length - 1) {
    rest /= 1024;
    power += 1;
  }
  return `${power === 0 ? rest : three(rest)} ${units[power]}`;
}

export function seconds(value: number): string {
  const size = Math.abs(value) / 0.9995; // what rounds up to a unit is of that unit
  if (size >= 1) return `${three(value)} s`;
  if (size >= 1e-3) return `${three(value * 1e3)} ms`;
  return size >= 1e-6 ? `${three(value * 1e6)} µs` : `${three(value * 1e9)} ns`;
}

export const percent = (share: number): string =>
  share > 0 && share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`;

// A number's text with at most six figures, for tables; the full text is shown beside it.
export function short(text: string | null): string {
  if (text === null) return "–";
  const value = Number(text);
  if (!Number.isFinite(value) || text.length <= 8) return text;
  return String(Number(value.toPrecision(6)));
}

// The largest of many numbers: a call takes no more than some ten thousand arguments.
export function largest(values: Iterable<number>, least = -Infinity): number {
  let found = least;
  for (const value of values) if (value > found) found = value;
  return found;
}

// Round numbers for an axis from `low` to `high`: 1, 2 or 5 times a power of `base` ten (or two, for bytes).
export function ticks(low: number, high: number, most: number, whole = false): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) ?? rough;
  if (whole) step = Math.max(1, Math.round(step));
  const found: number[] = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) found.push(t);
  return found;
}

// The same for bytes: steps are powers of two.
export function byteTicks(high: number, most: number): number[] {
  if (!(high > 0)) return [0];
  const step = 2 ** Math.ceil(Math.log2(high / Math.max(1, most)));
  const found: number[] = [];
  for (let t = 0; t <= high; t += step) found.push(t);
  return found;
}
