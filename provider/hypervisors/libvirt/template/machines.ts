/** What new members' hardware is like. */
import { HypervisorError, type ReconfigureOrder } from "../../hypervisor";
import type { HelperSettings } from "../helper/helper";
import type { HostSession } from "../connection/session";
import { memberMachine } from "../look/memberMachine";
import { keepsVariables, type TemplateMachine } from "../xml/memberDefinition";
import { readVariables } from "./variables";
import type { TemplateWatch } from "./watch";

interface Ground {
  template: TemplateWatch;
  sessions(): readonly HostSession[];
  session(host: string): HostSession;
  helperSettings(fleetId: string): HelperSettings;
}

export class Machines {
  /** Of a template that is gone, asked once for all new members. */
  private likeMember: Promise<TemplateMachine | undefined> | undefined;
  /** Read once for all of them. */
  private variables: Promise<Buffer | undefined> | undefined;

  constructor(private readonly ground: Ground) {}

  /** Undefined: documented defaults. */
  async forMember(order: ReconfigureOrder): Promise<TemplateMachine | undefined> {
    if (order.vm.hardware !== "template") return undefined;
    const { located } = this.ground.template;
    if (located?.machine) return this.withVariables(located.machine, located.observed.host, order);
    const { fleet: { fleetId }, contentId } = order;
    const machine = await (this.likeMember ??= memberMachine(this.ground.sessions(), fleetId, contentId));
    if (machine) return machine;
    this.likeMember = undefined;
    throw new HypervisorError(order.host, "define", "the template's hardware cannot be looked at, and no member is there that has it: see to the template's domain (template.domain), or set vm.hardware to \"defaults\"");
  }

  private async withVariables(machine: TemplateMachine, host: string | undefined, { fleet, vm }: ReconfigureOrder): Promise<TemplateMachine> {
    if (machine.variablesAt === undefined || host === undefined || !keepsVariables(machine, vm)) return machine;
    const { session, helperSettings } = this.ground;
    const reading = this.variables ??= readVariables(session(host), helperSettings(fleet.fleetId), machine.variablesAt);
    try {
      const variables = await reading;
      return variables ? { ...machine, variables } : machine;
    } catch (error) {
      if (this.variables === reading) this.variables = undefined; // whoever comes next asks again
      throw error;
    }
  }
}
