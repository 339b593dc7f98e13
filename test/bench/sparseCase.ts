/** Case `sparse`: see sparse.ts. All its runs or none: a run that was stopped begins anew. */
import { table } from "../../provider/cli/table";
import type { BenchCase, CaseReport } from "./cases";
import type { BenchGround } from "./ground";
import type { BenchOptions } from "./options";
import { benchSparse, type SparseReport } from "./sparse";

async function measure({ lab, log, mayGoOn }: BenchGround, { repeat }: BenchOptions, found: unknown, save: (measured: unknown) => void): Promise<SparseReport[] | undefined> {
  if (found !== undefined || !mayGoOn()) return found as SparseReport[] | undefined;
  const measured = await benchSparse(lab, repeat, log);
  save(measured);
  return measured;
}

function report(measured: unknown): CaseReport {
  const rows = measured as SparseReport[];
  const text = [
    "10 GiB with 300 MiB in it, through a relay of three hops",
    "",
    table(["image", "last hop s", "plain copy of 300 MiB s", "x plain copy", "most a hop carried, of the data"], rows.map((row) => [
      row.name, row.seconds.toFixed(2), row.plainSeconds.toFixed(2), row.toPlainCopy.toFixed(3), row.carried.toFixed(2),
    ])),
  ].join("\n");
  return { text, data: rows, faults: rows.flatMap(({ name, faults }) => faults.map((fault) => `sparse, ${name}: ${fault}`)) };
}

export const sparseCase: BenchCase = { measure, report };
