import type { Image, PolicyName } from "../../fleet/model";
import type { Topology } from "../../scheduler";
import type { ChosenPolicy } from "../distribution/policy";
import type { SourceBook } from "../distribution/sourceBook";
import type { TransferLog } from "../distribution/transferLog";

/** What a run did; failures are in the context. */
export interface Execution {
  log: TransferLog;
  /** As declared, whatever was learned. */
  topology: Topology;
  /** What its copies were of. */
  image: Image;
  /** Of the makespan, said when the copies began. */
  predictedSeconds?: number;
  policy: PolicyName | "none";
  created: number;
  destroyed: number;
  reconfigured: number;
}

export interface ExecuteOptions {
  time: "network" | "unit";
  /** Look out for stragglers. False where copies report no progress and none can lag: in a preview. */
  watch: boolean;
  /** Called when copies must be made: the policy that decides which source feeds which host. */
  choosePolicy: (book: SourceBook) => Promise<ChosenPolicy>;
}
