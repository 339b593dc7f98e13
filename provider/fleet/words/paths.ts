/** What adapters find wrong, as problems of the program: the one place that says which property a thing has there. */
import type { FleetSpec, HostProblem, Problem, TemplateProblem } from "../model";
import { formatPath } from "./problems";

/** Empty: the host is no longer declared, so that no property is to blame, and nothing is made on it. */
export function problemsOfHost({ hosts }: Pick<FleetSpec, "hosts">, name: string, found: readonly HostProblem[]): Problem[] {
  const index = hosts.findIndex((host) => host.name === name);
  return index < 0 ? [] : found.map(({ property, message }) => ({ path: formatPath(["hosts", index, ...(property === undefined ? [] : [property])]), message }));
}

export const problemOfTemplate = ({ property, message }: TemplateProblem): Problem =>
  ({ path: formatPath(["template", ...(property === undefined ? [] : [property])]), message });
