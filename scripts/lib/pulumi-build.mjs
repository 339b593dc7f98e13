/** The Pulumi CLI from the Go module proxy, where the official binary cannot be had. */
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { quietly } from "./programs.mjs";

export const BUILD_VERSION = "3.254.0";
const YAML_VERSION = "1.38.0";
const BUILD_TIMEOUT_MS = 45 * 60_000;
const CLI = "github.com/pulumi/pulumi";
const YAML = "github.com/pulumi/pulumi-yaml";
const PROGRAMS = [`${CLI}/pkg/v3/cmd/pulumi`, `${YAML}/cmd/pulumi-language-yaml`];
const TAGS = ["-tags", "osusergo,grpcnotrace"];

/**
 * Measured on 2 cores: 1 minute to download, 4 to 6 to compile, 3 GB of Go caches.
 * @param {{root: string, doing?: (text: string) => void, signal?: AbortSignal}} options root: gets `bin/pulumi` and the
 *   host of YAML programs; what stands there is replaced when all is built
 */
export async function buildPulumi({ root, doing = () => {}, signal }) {
  const work = mkdtempSync(`${root}.work-`);
  const go = (args, onLine) => quietly(["go", ...args], { cwd: work, env: { CGO_ENABLED: "0" }, timeoutMs: BUILD_TIMEOUT_MS, signal, onLine });
  const versions = `-X ${CLI}/sdk/v3/go/common/version.Version=v${BUILD_VERSION} -X ${YAML}/pkg/version.Version=v${YAML_VERSION}`;
  try {
    doing("Go looks up its modules");
    await go(["mod", "init", "pulumi-cli-build"]);
    // Pulumi's own go.mod replaces this module; a replacement does not reach those who build it from outside.
    await go(["mod", "edit", "-replace", "github.com/atotto/clipboard=github.com/tgummerer/clipboard@v0.0.0-20241001131231-d02d263e614e"]);
    await go(["get", "-tool", `${PROGRAMS[0]}@v${BUILD_VERSION}`]);
    await go(["get", `${CLI}/sdk/v3@v${BUILD_VERSION}`]);
    await go(["get", "-tool", `${PROGRAMS[1]}@v${YAML_VERSION}`]);
    let packages = 0, compiled = 0;
    await go(["list", "-deps", ...TAGS, ...PROGRAMS], () => { packages += 1; });
    doing("Go compiles it");
    // Both at once: one links while the other still compiles. Each takes its version from what is given to both.
    await go(["build", "-v", ...TAGS, "-trimpath", "-ldflags", `-s -w ${versions}`, "-o", "bin/", ...PROGRAMS], () => {
      compiled += 1;
      doing(compiled < packages ? `Go compiles it, ${compiled} of ${packages} packages` : "Go links it");
    });
    rmSync(root, { recursive: true, force: true });
    renameSync(work, root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What downloads and builds left that were killed; one that still runs is younger. */
export function removeAbandoned(folder) {
  for (const name of readdirSync(folder).filter((one) => one.includes(".work-"))) {
    const path = join(folder, name);
    if (Date.now() - statSync(path).mtimeMs > 2 * BUILD_TIMEOUT_MS) rmSync(path, { recursive: true, force: true });
  }
}
