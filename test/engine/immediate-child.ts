/** A provider to be killed: applies the fleet whose inputs and id it is given. */
import { applyFleet, realClock } from "../../provider/engine";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { specOf } from "../hypervisors/libvirt/labFleet";

const { inputs, fleetId } = JSON.parse(process.argv[2]!) as { inputs: Record<string, unknown>; fleetId: string };
const spec = specOf(inputs);
const hypervisor = createLibvirt({ spec });
applyFleet({ spec, fleetId, incarnation: "one", hypervisor, clock: realClock, holder: "to be killed" }).finally(() => hypervisor.close()).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
