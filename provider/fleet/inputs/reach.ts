/** How hosts are reached: by Pulumi at their URI, and by each other at their transfer address. */
import { z } from "zod";
import type { Problem } from "../model";
import { expected, seen } from "../words/problems";
import { str, type Raw } from "./raw";
import { UNKNOWN } from "./unknowns";
import { uriParts, uriProblem } from "../uri/uri";

/** URIs that cannot be used, or hold what is not honoured. */
export function uriProblems(hosts: readonly Raw[]): Problem[] {
  return hosts.flatMap((host, index) => {
    const uri = str(host.uri);
    const message = uri === undefined ? undefined : uriProblem(uri);
    return message === undefined ? [] : [{ path: `hosts[${index}].uri`, message }];
  });
}

export function reachProblems(raw: Raw, hosts: readonly Raw[]): Problem[] {
  const problems: Problem[] = [];
  const addresses = new Map<string, number>();
  hosts.forEach((host, index) => {
    const parts = uriParts(str(host.uri) ?? "");
    if (parts?.transport === "tcp" && raw.allowUnauthenticatedTcp !== true && raw.allowUnauthenticatedTcp !== UNKNOWN) {
      problems.push({
        path: `hosts[${index}].uri`,
        message: expected("a URI with authentication", host.uri, "use qemu+ssh, or set allowUnauthenticatedTcp: true on a network you trust"),
      });
    }
    const declared = str(host.transferAddress);
    const address = declared ?? (host.transferAddress === undefined ? parts?.host : undefined);
    const path = `hosts[${index}].transferAddress`;
    if (address === undefined) {
      if (hosts.length > 1 && parts && host.transferAddress === undefined) {
        problems.push({
          path, message: `expected an address that the other hosts reach this one at, got nothing, and the URI ${seen(host.uri)} names none; add it`,
        });
      }
      return;
    }
    const first = addresses.get(address.toLowerCase());
    if (first !== undefined) {
      problems.push({ path, message: expected("an address of its own for each host", address, `hosts[${first}] has it already`) });
      return;
    }
    addresses.set(address.toLowerCase(), index);
    if (hosts.length > 1) {
      const unfit = unfitAddress(address);
      if (unfit !== undefined) {
        const from = declared === undefined ? "the URI names it; set transferAddress" : "name another";
        problems.push({ path, message: expected("an address that the other hosts reach this one at", address, `${unfit}: ${from}`) });
      }
    }
  });
  return problems;
}

/** Why the other hosts cannot reach one at this address; undefined: they may. */
export function unfitAddress(address: string): string | undefined {
  const name = address.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost") || /^ip6-(localhost|loopback)$/.test(name)) return "each of them means itself by it";
  if (name.includes(":")) return unfitIpv6(name);
  if (!/^[\d.]+$/.test(name)) return undefined;
  if (!z.ipv4().safeParse(name).success) return "it is no IPv4 address";
  if (name.startsWith("127.")) return "each of them means itself by it";
  return name.startsWith("0.") ? "it is every address and none" : undefined;
}

function unfitIpv6(name: string): string | undefined {
  const bare = name.replace(/%.*$/, "");
  if (!z.ipv6().safeParse(bare).success) return "it is neither a host name nor an IP address; the ports are transferPorts";
  const groups = bare.replace(/^::ffff:/, "");
  if (groups !== bare && groups.includes(".")) return unfitAddress(groups);
  if (/^[0:]*:0*1$/.test(bare)) return "each of them means itself by it";
  return /^[0:]+$/.test(bare) ? "it is every address and none" : undefined;
}
