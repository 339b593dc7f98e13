import type * as dynamic from "@pulumi/pulumi/dynamic";
import { checkFleet } from "./check";
import type { Dependencies } from "../../front/dependencies";
import { diffFleet } from "./diff";
import { createLifecycle } from "./lifecycle";
import type { Bag } from "./properties";
import { redacted } from "./row";
import { createRuns } from "../../front/runs";

export interface FleetProvider {
  check(olds: Bag | undefined, news: Bag): Promise<dynamic.CheckResult>;
  diff(id: string, olds: Bag, news: Bag): Promise<dynamic.DiffResult>;
  create(inputs: Bag): Promise<dynamic.CreateResult>;
  update(id: string, olds: Bag, news: Bag): Promise<dynamic.UpdateResult>;
  read(id: string, props: Bag): Promise<dynamic.ReadResult>;
  delete(id: string, props: Bag): Promise<void>;
}

/** Pulumi's methods over the given doors, hosts and engine. */
export function createProvider(dependencies: Dependencies): FleetProvider {
  const previewed = new Set<string>();
  const runs = createRuns(dependencies.link, dependencies.exit);
  return {
    check: redacted((olds, news) => runs.run(() => checkFleet(olds, news, dependencies, previewed))),
    diff: redacted((_id, olds, news) => runs.run(() => diffFleet(olds, news, dependencies, previewed))),
    ...createLifecycle(dependencies, runs),
  };
}
