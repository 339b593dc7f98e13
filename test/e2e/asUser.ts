/** A user at a shell: an own home of Pulumi's, an own backend he logged in to, the CLI on PATH. What he types is run as it is. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { pulumiHere, ROOT } from "./harness";

export interface User {
  /** Of his own, empty at first. */
  folder: string;
  /** Runs one line of a shell. @returns all it printed @throws Error with all it printed when it fails */
  type(line: string, where?: string): Promise<string>;
  /** The same of a line that must fail. @returns all it printed */
  failing(line: string, where?: string): Promise<string>;
  leave(): void;
}

/** @param env added to what every process here has */
export async function newUser(env: Record<string, string> = {}): Promise<User> {
  const { env: ofPulumi, nodejsHost } = await pulumiHere();
  const folder = mkdtempSync(join(tmpdir(), "vmfleet-user-"));
  const bin = join(folder, "bin");
  mkdirSync(bin);
  mkdirSync(join(folder, "state"));
  if (!nodejsHost) {
    const host = [process.execPath, "--require", require.resolve("tsx/cjs"), join(__dirname, "language-host/index.ts")];
    writeFileSync(join(bin, "pulumi-language-nodejs"), `#!/bin/sh\nexec ${host.map((part) => `'${part}'`).join(" ")} "$@"\n`, { mode: 0o755 });
  }
  const { PULUMI_BACKEND_URL: _, ...here } = process.env;
  const all = {
    ...here, ...ofPulumi, PATH: [bin, ofPulumi["PATH"]].join(delimiter), PULUMI_HOME: join(folder, "pulumi"),
    PULUMI_CONFIG_PASSPHRASE: "test", PULUMI_SKIP_CONFIRMATIONS: "true", NO_COLOR: "1", ...env,
  };
  async function run(line: string, where: string): Promise<{ code: number | null; output: string }> {
    const child = spawn("sh", ["-c", line], { cwd: where, env: all, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (text: Buffer) => { output += text.toString(); });
    child.stderr.on("data", (text: Buffer) => { output += text.toString(); });
    const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
    return { code, output };
  }
  const user: User = {
    folder,
    async type(line, where = folder) {
      const { code, output } = await run(line, where);
      if (code !== 0) throw new Error(`${line}: ended with code ${code}:\n${output}`);
      return output;
    },
    async failing(line, where = folder) {
      const { code, output } = await run(line, where);
      if (code === 0) throw new Error(`${line}: expected it to fail:\n${output}`);
      return output;
    },
    leave: () => rmSync(folder, { recursive: true, force: true }),
  };
  await user.type(`pulumi login file://${join(folder, "state")}`);
  return user;
}

/** Not part of a clone: what was installed, built or set up here. */
const NOT_CLONED = /^(\.git|dist|coverage|bench-results)$|(^|\/)node_modules$|^examples\/.*\/(package-lock\.json|Pulumi\..+\.yaml)$|^Pulumi\..+\.yaml$/;

/** A fresh clone of the repository, after `npm ci` and before anything was built. */
export function clone(to: string): string {
  cpSync(ROOT, to, { recursive: true, filter: (from) => !NOT_CLONED.test(relative(ROOT, from)) });
  symlinkSync(join(ROOT, "node_modules"), join(to, "node_modules"));
  return to;
}

/** The lines of the first shell block after a sentence of a page, comments cut off. */
export function commandsAfter(page: string, sentence: string): string[] {
  const [, block] = /^```\n([^]*?)^```/m.exec(readFileSync(page, "utf8").split(sentence)[1] ?? "") ?? [];
  if (block === undefined) throw new Error(`${page}: expected a block of commands after "${sentence}", got none`);
  return block.split("\n").map((line) => line.replace(/\s+#.*$/, "")).filter(Boolean);
}
