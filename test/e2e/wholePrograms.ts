/**
 * Inline programs that lose no resource on the way to Pulumi's engine.
 *
 * On a loaded machine a call to the engine may get no connection. Pulumi's host of inline programs then says nothing, so
 * to the engine a program ended that declares no resources: an `up` of it deletes all that there is in the stack. Under
 * this guard such a run ends with an error, before which the engine deletes nothing.
 */
import type { InlineProgramArgs } from "@pulumi/pulumi/automation";
import { type Resource, runtime } from "@pulumi/pulumi";

type Program = InlineProgramArgs["program"];
type Answer = (error: unknown, response?: { getError(): string; setError(text: string): void }) => void;
interface Server {
  program: Program;
  run(call: unknown, callback: Answer): Promise<void>;
}

// Pulumi does not declare what answers the engine for an inline program, nor how to wait for what is under way.
const { waitForRPCs } = require("@pulumi/pulumi/runtime/settings") as { waitForRPCs(): Promise<void> };
const { LanguageServer } = require("@pulumi/pulumi/automation/server") as { LanguageServer: { prototype: Server } };

/** What the error of such a run says. */
export const LOST = "the program lost Pulumi's engine";

/** Of a program whose runs are guarded: whether the engine was seen to deal with its resources in the run at hand. */
const guarded = new WeakMap<Program, () => boolean>();

/**
 * @param isKnown whether the engine deals with the program's resources, by its events: what is lost after that
 *   is a run that fails anyhow, which Pulumi reports itself
 */
export function guardProgram(program: Program, isKnown: () => boolean): void {
  install();
  guarded.set(program, isKnown);
}

let installed = false;
function install(): void {
  if (installed) return;
  installed = true;
  const run = LanguageServer.prototype.run;
  LanguageServer.prototype.run = function (call, callback) {
    const { program } = this;
    const isKnown = guarded.get(program);
    if (!isKnown) return run.call(this, call, callback);
    let ended = false;
    /** Resources that the engine has not answered for; those whose calls were lost stay here. */
    const unanswered = new Set<Resource>();
    this.program = async () => {
      runtime.registerStackTransformation(({ resource }) => {
        unanswered.add(resource);
        // Its name comes from the engine alone; the resource has none yet while it is constructed.
        setImmediate(() => void (resource.urn as unknown as { promise(): Promise<string> }).promise().then(() => unanswered.delete(resource), () => undefined));
        return undefined;
      });
      const outputs = await program();
      await waitForRPCs();
      if (unanswered.size > 0 && !isKnown()) throw new Error(LOST);
      ended = true;
      return outputs;
    };
    return run.call(this, call, (error, response) => {
      if (!error && response && !ended && !isKnown() && response.getError() === "") response.setError(LOST);
      callback(error, response);
    });
  };
}
