/** A lab for a command that runs for long: one of its own, gone when the command ends, or one that is up already. */
import { down, status, up } from "./lab.mjs";
import type { Lab } from "./lab.mjs";

export class OwnLab {
  private isOurs = false;

  /**
   * @param name of the command's own lab
   * @param busy said where another such command has it: why two cannot
   */
  constructor(private readonly name: string, private readonly busy: string) {}

  /**
   * @param given option `--lab`: this one is used, and left up. Absent: the own one is made
   * @param options how that is made
   * @throws Error where the given lab is not up, or another command has the own one
   */
  async open(given: string | undefined, options: Omit<NonNullable<Parameters<typeof up>[0]>, "name" | "owner">): Promise<Lab> {
    if (given !== undefined) {
      const lab = await status({ name: given });
      if (lab === null || lab.hosts.some((host) => host.pid === null)) {
        throw new Error(`--lab: expected a lab that is up, got ${JSON.stringify(given)}: node scripts/lab.mjs up --name ${given}`);
      }
      return lab;
    }
    if ((await status({ name: this.name }))?.ownerAlive) throw new Error(`${this.busy} in the lab ${this.name}: wait for its end, or give a --lab of your own`);
    await down({ name: this.name });
    this.isOurs = true;
    return up({ ...options, name: this.name, owner: process.pid });
  }

  /** Also while it is being made. */
  async remove(): Promise<void> {
    if (this.isOurs) await down({ name: this.name });
    this.isOurs = false;
  }
}
