import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { once } from "node:events";
import { engineLink, noEngine } from "../../provider/pulumi/dynamic/engine-link";
import { URN } from "./fakes";

const ofPulumi = createRequire(require.resolve("@pulumi/pulumi/package.json"));
const grpc = ofPulumi("@grpc/grpc-js") as typeof import("@grpc/grpc-js");
const { EngineService } = ofPulumi("./proto/engine_grpc_pb") as { EngineService: import("@grpc/grpc-js").ServiceDefinition };
const { Empty } = ofPulumi("google-protobuf/google/protobuf/empty_pb") as { Empty: new () => unknown };

describe("the link to the engine", () => {
  it("delivers a message with its resource, severity and lifetime", async () => {
    const received: unknown[] = [];
    const server = new grpc.Server();
    server.addService(EngineService, {
      log: (call: { request: { toObject(): unknown } }, done: (error: null, reply: unknown) => void) => {
        received.push(call.request.toObject());
        done(null, new Empty());
      },
      getRootResource: unimplemented, setRootResource: unimplemented, startDebugging: unimplemented, requirePulumiVersion: unimplemented,
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    const link = engineLink(`127.0.0.1:${port}`);
    await link.log(URN, "half way", "info", true);
    await link.log(URN, "careful", "warning", false);
    server.forceShutdown();
    const [first, second] = received as { urn: string; message: string; severity: number; ephemeral: boolean }[];
    assert.deepEqual([first!.urn, first!.message, first!.severity, first!.ephemeral], [URN, "half way", 1, true]);
    assert.deepEqual([second!.severity, second!.ephemeral], [2, false]);
  });

  it("does not let a message that cannot be delivered fail a run", async () => {
    await engineLink("127.0.0.1:1").log(URN, "nobody hears this", "info", true);
  }).timeout(5000);

  it("notices that the engine is gone", async () => {
    const server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const sockets: import("node:net").Socket[] = [];
    const connected = new Promise<void>((resolve) => server.on("connection", (socket) => { sockets.push(socket); resolve(); }));
    const { port } = server.address() as import("node:net").AddressInfo;
    const gone = new Promise<void>((resolve) => engineLink(`127.0.0.1:${port}`).onGone(resolve));
    await connected;
    server.close();
    sockets.forEach((socket) => socket.destroy());
    const keepAlive = setInterval(() => undefined, 1000);
    await gone;
    clearInterval(keepAlive);
  }).timeout(10_000);

  it("stays with an engine that merely closed a connection", async () => {
    const server = createServer();
    let connections = 0;
    const second = new Promise<void>((resolve) => {
      server.on("connection", (socket) => {
        connections++;
        socket.unref();
        if (connections === 2) resolve();
        else socket.destroy();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    let gone = false;
    engineLink(`127.0.0.1:${(server.address() as import("node:net").AddressInfo).port}`).onGone(() => { gone = true; });
    await second;
    assert.equal(gone, false);
    server.close();
    server.unref();
  }).timeout(10_000);

  it("is no link at all when the process was not started by Pulumi", () => {
    assert.equal(engineLink("/usr/bin/mocha"), noEngine);
    assert.equal(engineLink(undefined), noEngine);
  });
});

const unimplemented = (_call: unknown, done: (error: { code: number }) => void) => done({ code: grpc.status.UNIMPLEMENTED });
