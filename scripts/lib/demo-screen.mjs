/** What the demo prints: one line a step, live while it runs on a terminal, nothing but results elsewhere. */

const LABEL_WIDTH = 12;
const HOST_WIDTH = 4;

export function screen(stream) {
  const terminal = stream.isTTY === true;
  const paint = (code, text) => (terminal && !process.env.NO_COLOR ? `\u001b[${code}m${text}\u001b[0m` : text);
  const clear = () => { if (terminal) stream.write("\r\u001b[2K"); };
  const row = (mark, label, text) => `${mark} ${label.padEnd(LABEL_WIDTH)} ${text}`;
  return {
    line(text) { clear(); stream.write(`${text}\n`); },
    live(label, text) {
      if (!terminal) return;
      clear();
      // A line that wraps could not be cleared.
      stream.write(row(paint(36, "…"), label, text).slice(0, (stream.columns ?? 100) + 8));
    },
    done(label, text) { clear(); stream.write(`${row(paint(32, "✔"), paint(1, label.padEnd(LABEL_WIDTH)), text)}\n`); },
    failed(label, text) { clear(); stream.write(`${row(paint(31, "✘"), label, text)}\n`); },
  };
}

/** Members per host, rack by rack: `rack-a   a1 ■■■   a2 ■■■`. */
export function bars(lab, placement) {
  const most = Math.max(1, ...Object.values(placement));
  return lab.racks.map((rack) => {
    const hosts = lab.hosts.filter((host) => host.rack === rack.name);
    const cells = hosts.map(({ name }) => `${name.padEnd(HOST_WIDTH)}${"■".repeat(placement[name] ?? 0).padEnd(most)}`);
    return `${" ".repeat(LABEL_WIDTH + 3)}${rack.name}   ${cells.join("   ")}`.trimEnd();
  }).join("\n");
}

/** Decimal, two digits: `1.2 GB`. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit++; }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export const seconds = (count) => (count < 10 ? `${count.toFixed(1)} s` : `${Math.round(count)} s`);
