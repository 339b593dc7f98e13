/**
 * libvirt's auth.conf (libvirt.org/auth.html, "client configuration"): names and passwords by host. Groups
 * `[credentials-NAME]` hold `authname` and `password`; `[auth-libvirt-HOST]`, else `[auth-libvirt-default]`, says whose.
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { NameAndPassword } from "../rpc/authentication";
import { ConnectionLostError } from "../rpc/errors";

export interface AuthWorld {
  /** @default process.env */
  env?: NodeJS.ProcessEnv;
  /** @default the user's */
  home?: string;
  /** @default "/etc/libvirt" */
  directory?: string;
}

/** As virAuthGetConfigFilePathURI: the environment's, the URI's, the user's, the machine's. */
function placeOf(given: string | undefined, { env = process.env, home = homedir(), directory = "/etc/libvirt" }: AuthWorld): string {
  const named = env["LIBVIRT_AUTH_FILE"];
  if (named !== undefined && named !== "") return named;
  if (given !== undefined) return given;
  const config = env["XDG_CONFIG_HOME"];
  const user = join(config !== undefined && config !== "" ? config : join(home, ".config"), "libvirt", "auth.conf");
  return existsSync(user) ? user : join(directory, "auth.conf");
}

/**
 * @param host as the URI names it; "localhost" for a unix socket
 * @throws ConnectionLostError where a file that the URI or the environment names cannot be read
 */
export function readAuthFile(given: string | undefined, host: string, world: AuthWorld = {}): NameAndPassword {
  const place = placeOf(given, world);
  const isNamed = given !== undefined || place === (world.env ?? process.env)["LIBVIRT_AUTH_FILE"];
  let text: string;
  try {
    text = readFileSync(place, "utf8");
  } catch (error) {
    if (!isNamed && (error as NodeJS.ErrnoException).code === "ENOENT") return { place };
    throw new ConnectionLostError(`the file with names and passwords ${place} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const groups = readGroups(text);
  const auth = groups.get(`auth-libvirt-${host}`) ?? groups.get("auth-libvirt-default");
  const whose = auth?.get("credentials");
  const credentials = whose === undefined ? undefined : groups.get(`credentials-${whose}`);
  const [name, password] = [credentials?.get("authname") ?? credentials?.get("username"), credentials?.get("password")];
  return { place, ...(name !== undefined && { name }), ...(password !== undefined && { password }) };
}

/** As virkeyfile.c reads it: `[group]`, `key=value`, lines of comment behind `#` or `;`. What a value ends with is its own. */
function readGroups(text: string): Map<string, Map<string, string>> {
  const groups = new Map<string, Map<string, string>>();
  let group: Map<string, string> | undefined;
  for (const line of text.split(/\r?\n/)) {
    const head = /^\s*\[([^\]]+)\]\s*$/.exec(line);
    if (head) {
      group = groups.get(head[1]!) ?? new Map();
      groups.set(head[1]!, group);
      continue;
    }
    const pair = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*)$/.exec(line);
    if (pair && group) group.set(pair[1]!, pair[2]!);
  }
  return groups;
}
