/**
 * `pulumi up` of a `runtime: nodejs` project asks a program named pulumi-language-nodejs to run the user's. The official
 * one comes with the CLI's installer, which not every machine can use; this one does what it does with a program: the
 * SDK's own runner, found from the program's folder, gets the arguments and the environment that the official host gives
 * (pulumi/pulumi, sdk/nodejs/cmd/pulumi-language-nodejs). Left out: synchronous invokes, debuggers, plugins in Node.
 *
 * usage: pulumi-language-nodejs ENGINE_ADDRESS; prints its port
 */
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import * as services from "@pulumi/pulumi/proto/language_grpc_pb";
import * as messages from "@pulumi/pulumi/proto/language_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { version } from "@pulumi/pulumi/version";
import { engineLink } from "../../../provider/pulumi/dynamic/engine-link";
import { LOGGED_EXIT_CODE, runnerArguments, runnerEnvironment } from "./runner";

type Unary<Request, Response> = grpc.handleUnaryCall<Request, Response>;
type Answer<T> = (error: grpc.ServiceError | null, value?: T | null) => void;

const [engineAddress] = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));

/** Answers with what `work` comes to; whatever it throws is a failed call. */
function answering<T>(callback: Answer<T>, work: () => Promise<T>): void {
  work().then((value) => callback(null, value), (error: Error) => callback({ ...error, name: error.name, message: error.message, code: grpc.status.UNKNOWN } as grpc.ServiceError));
}

const run: Unary<messages.RunRequest, messages.RunResponse> = (call, callback) => answering(callback, async () => {
  const request = call.request;
  const response = new messages.RunResponse();
  const directory = request.getInfo()!.getProgramDirectory();
  let runner: string;
  try {
    const script = "console.log(require.resolve('@pulumi/pulumi/cmd/run'))";
    runner = (await promisify(execFile)(process.execPath, ["-e", script], { cwd: directory })).stdout.trim();
  } catch {
    response.setError("It looks like the Pulumi SDK has not been installed. Have you run pulumi install?");
    return response;
  }
  const args = [runner, ...runnerArguments(request, engineAddress!)];
  const env = { ...process.env, ...runnerEnvironment(request) };
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", resolve);
    call.on("cancelled", () => child.kill("SIGINT"));
  });
  if (code === LOGGED_EXIT_CODE) response.setBail(true);
  else if (code !== 0) response.setError(`Program exited with non-zero exit code: ${code}`);
  return response;
});

const installDependencies: grpc.handleServerStreamingCall<messages.InstallDependenciesRequest, messages.InstallDependenciesResponse> = (call) => {
  const child = spawn("npm", ["install", "--loglevel=error"], { cwd: call.request.getInfo()!.getProgramDirectory(), stdio: ["ignore", "pipe", "pipe"] });
  const say = (put: (response: messages.InstallDependenciesResponse, text: Buffer) => void) => (text: Buffer) => {
    const response = new messages.InstallDependenciesResponse();
    put(response, text);
    call.write(response);
  };
  child.stdout.on("data", say((response, text) => response.setStdout(new Uint8Array(text))));
  child.stderr.on("data", say((response, text) => response.setStderr(new Uint8Array(text))));
  child.on("close", (code) => {
    if (code === 0) call.end();
    else call.emit("error", { code: grpc.status.UNKNOWN, details: `npm install ended with code ${code}` });
  });
};

const pluginInfo: Unary<unknown, PluginInfo> = (_, callback) => {
  const info = new PluginInfo();
  info.setVersion(version);
  callback(null, info);
};

/** What these programs depend on, a dynamic provider, is no plugin to be installed. */
const nothing = <T>(Response: new () => T): Unary<any, T> => (_, callback) => callback(null, new Response());

const about: Unary<messages.AboutRequest, messages.AboutResponse> = (_, callback) => {
  const response = new messages.AboutResponse();
  response.setExecutable(process.execPath);
  response.setVersion(process.version);
  callback(null, response);
};

const server = new grpc.Server();
// Methods that are not named answer UNIMPLEMENTED, which the engine expects of a host older than itself.
server.addService(services.LanguageRuntimeService as unknown as grpc.ServiceDefinition, {
  handshake: nothing(messages.LanguageHandshakeResponse),
  getRequiredPackages: nothing(messages.GetRequiredPackagesResponse),
  runtimeOptionsPrompts: nothing(messages.RuntimeOptionsResponse),
  getProgramDependencies: nothing(messages.GetProgramDependenciesResponse),
  getPluginInfo: pluginInfo,
  installDependencies,
  about,
  run,
  // A program under way is ended by the call that runs it, which the engine cancels, too.
  cancel: nothing((services.LanguageRuntimeService as any).cancel.responseType),
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
// A host must not outlive the CLI that it serves.
engineLink(engineAddress).onGone(() => process.exit(0));
