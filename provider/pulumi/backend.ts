/**
 * Which backend holds this stack. A dynamic provider is not told; it looks where the CLI looks: $PULUMI_BACKEND_URL, the
 * project's `backend.url`, what `pulumi login` wrote. It runs with the CLI's environment, in the program's folder.
 */
import { readFileSync, realpathSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";

/** What is looked at, so that tests can say what is there. */
export interface Surroundings {
  env: Record<string, string | undefined>;
  /** Where the provider runs. */
  folder: string;
  home: string;
  /** Undefined where there is no such file. */
  read(file: string): string | undefined;
  /** With every link followed; a path that does not exist as it is. */
  realPath(path: string): string;
  /** This machine and no other. */
  machine(): string;
}

const DEFAULT_URL = "https://api.pulumi.com";
const PROJECT_FILES = ["Pulumi.yaml", "Pulumi.yml", "Pulumi.json"];
/** How a bucket is reached and by whom; the others say which it is. */
const NOT_WHICH = new Set(["region", "profile", "awssdk", "access_id", "private_key_path", "no_tmp_dir"]);

/** One text for one backend, however it is written; another for every other. Holds no password. */
export function backendOf(around: Surroundings): string {
  const { url, base } = backendUrl(around);
  if (url.startsWith("file://")) return `${fileBackend(url, base, around)} on ${around.machine()}`;
  return otherBackend(url, around.env);
}

/** @returns the URL as it was written, and the folder that a relative path in it begins at */
function backendUrl(around: Surroundings): { url: string; base: string } {
  const { env, folder } = around;
  const project = projectOf(around);
  const base = project?.folder ?? folder;
  const url = env["PULUMI_BACKEND_URL"] || project?.url || loginOf(around) || env["PULUMI_API"] || DEFAULT_URL;
  return { url, base };
}

/** The nearest project file upwards, or that of the program's own project where another project's lies in between. */
function projectOf({ env, folder, read }: Surroundings): { folder: string; url?: string } | undefined {
  for (let at = folder; ; at = dirname(at)) {
    for (const file of PROJECT_FILES) {
      const { name, backend } = fieldsOf(read(join(at, file))) as { name?: unknown; backend?: { url?: unknown } };
      if (name === undefined || (env["PULUMI_PROJECT"] && name !== env["PULUMI_PROJECT"])) continue;
      return { folder: at, ...(typeof backend?.url === "string" && { url: backend.url }) };
    }
    if (at === dirname(at)) return undefined;
  }
}

function loginOf({ env, home, read }: Surroundings): string | undefined {
  const folder = env["PULUMI_CREDENTIALS_PATH"] || pulumiHome(env, home);
  const { current } = fieldsOf(read(join(folder, "credentials.json"))) as { current?: unknown };
  return typeof current === "string" ? current : undefined;
}

/** Of a YAML or JSON file; none where it is missing or cannot be read, as Pulumi itself would have said by now. */
function fieldsOf(text: string | undefined): object {
  try {
    const value: unknown = text === undefined ? undefined : parse(text, { logLevel: "error" });
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function fileBackend(url: string, base: string, { home, realPath }: Surroundings): string {
  const path = url.slice("file://".length).replace(/\?.*$/, "").replace(/^~(?=\/|$)/, home);
  return `file://${realPath(resolve(base, path))}`;
}

function otherBackend(url: string, env: Surroundings["env"]): string {
  if (!URL.canParse(url)) return url;
  const { protocol, host, pathname, searchParams } = new URL(url);
  // A bucket's name says which it is within its service; which service, may stand in the environment alone.
  if (protocol === "s3:" && !searchParams.has("endpoint")) setIf(searchParams, "endpoint", env["AWS_ENDPOINT_URL_S3"] || env["AWS_ENDPOINT_URL"]);
  if (protocol === "azblob:" && !searchParams.has("storage_account")) setIf(searchParams, "storage_account", env["AZURE_STORAGE_ACCOUNT"]);
  const which = [...searchParams].filter(([key]) => !NOT_WHICH.has(key)).map(([key, value]) => `${key}=${value}`).sort();
  return `${protocol}//${host.toLowerCase()}${pathname.replace(/\/+$/, "")}${which.length > 0 ? `?${which.join("&")}` : ""}`;
}

function setIf(parameters: URLSearchParams, key: string, value: string | undefined): void {
  if (value) parameters.set(key, value);
}

/** Where Pulumi keeps what is of this user and this machine. */
export const pulumiHome = (env: Surroundings["env"] = process.env, home = homedir()): string => env["PULUMI_HOME"] || join(home, ".pulumi");

/** This process's own. */
export function surroundings(): Surroundings {
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  return {
    env: process.env,
    folder: process.cwd(),
    home: homedir(),
    read,
    realPath: (path) => {
      try {
        return realpathSync(path);
      } catch {
        return path;
      }
    },
    // Either alone may be shared: machine ids by copied machines, names by machines of different owners.
    machine: () => `${read("/etc/machine-id")?.trim() ?? ""} ${hostname()}`,
  };
}
