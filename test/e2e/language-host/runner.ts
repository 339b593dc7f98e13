/** What Pulumi's official Node language host gives the SDK's runner, `@pulumi/pulumi/cmd/run`, for a request to run a program. */
import type { RunRequest } from "@pulumi/pulumi/proto/language_pb";

/** The runner's way to say: it failed, and the user has been told why. */
export const LOGGED_EXIT_CODE = 32;

export function runnerArguments(request: RunRequest, engineAddress: string): string[] {
  const info = request.getInfo()!;
  const given: [string, string][] = [
    ["monitor", request.getMonitorAddress()],
    ["engine", engineAddress],
    ["organization", request.getOrganization()],
    ["project", request.getProject()],
    ["root-directory", info.getRootDirectory()],
    ["stack", request.getStack()],
    ["pwd", info.getProgramDirectory()],
  ];
  return [
    ...given.flatMap(([name, value]) => (value === "" ? [] : [`--${name}`, value])),
    ...(request.getDryrun() ? ["--dry-run"] : []),
    "--parallel", String(request.getParallel()),
    // The entry point: `.` stands for what the nearest package.json names.
    info.getEntryPoint(), ...request.getArgsList(),
  ];
}

export function runnerEnvironment(request: RunRequest): Record<string, string> {
  const options = request.getInfo()!.getOptions()?.toJavaScript() ?? {};
  // `project:key` goes on as `project:config:key`, which SDKs of every age read.
  const config = Object.fromEntries([...request.getConfigMap().entries()].map(([key, value]) => [key.replace(/^([^:]+):(?!config:)/, "$1:config:"), value]));
  return {
    PULUMI_CONFIG: JSON.stringify(config),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    ...(options["typescript"] !== false && { PULUMI_NODEJS_TYPESCRIPT: "true" }),
    ...(typeof options["tsconfig"] === "string" && { PULUMI_NODEJS_TSCONFIG_PATH: options["tsconfig"] }),
  };
}
