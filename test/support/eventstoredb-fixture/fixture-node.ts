import gossipService from "@eventstore/db-client/generated/gossip_grpc_pb.js";
import gossip from "@eventstore/db-client/generated/gossip_pb.js";
import type * as gossipTypes from "@eventstore/db-client/generated/gossip_pb.js";
import features from "@eventstore/db-client/generated/serverfeatures_pb.js";
import featuresService from "@eventstore/db-client/generated/serverfeatures_grpc_pb.js";
import streamsService from "@eventstore/db-client/generated/streams_grpc_pb.js";
import type * as Grpc from "@grpc/grpc-js";
import { type AppendCall, serveAppends } from "./append-service.ts";
import { grpc } from "./client-dependencies.ts";
import { Faults } from "./faults.ts";
import { type ReadCall, serveRead } from "./read-service.ts";
import { type StoredEvent, StreamDatabase } from "./stream-database.ts";
import { TcpProxy } from "./tcp-proxy.ts";
import { callFailure, serialiseResponse, uuid } from "./wire.ts";

type UnaryCall = { metadata: Grpc.Metadata };
type Answer<T> = (failure: Grpc.ServiceError | null, answer: T) => void;

const LEADER = 8;
const FOLLOWER = 6;

interface Credentials {
  user: string;
  password: string;
}

export interface FixtureNodeOptions {
  /** Nodes of one cluster share it: replication is not what is tested. */
  database?: StreamDatabase;
  /** The server's MaxAppendSize. */
  maxAppendBytes?: number;
  /** Newer servers count types and metadata into it, older ones the data only. */
  countsEverything?: boolean;
  /** With TLS, this user who may do all, and another who may only read. */
  security?: { key: Buffer; certificate: Buffer; user: string; password: string; reader?: Credentials };
  /** What it says of itself. Default: the version that was measured. */
  version?: string;
  /** How far its clock is ahead of this machine's, ms. */
  clockAheadMs?: number;
}

/**
 * A server that stands in for EventStoreDB: the protocol on the client's own generated definitions, the semantics
 * of `StreamDatabase`, and faults. Clients reach it through a proxy that can be slow, hang and break.
 */
export class FixtureNode {
  readonly database: StreamDatabase;
  readonly faults = new Faults();
  readonly proxy: TcpProxy;
  readonly maxAppendBytes: number;
  /** Positions after which subscriptions began, -1 for the beginning of all. */
  readonly subscriptionStarts: number[] = [];
  isReady = true;
  isLeader = true;
  /** The other nodes of its cluster. */
  peers: readonly FixtureNode[] = [];
  readonly #options: FixtureNodeOptions;
  #server: Grpc.Server;
  #stop = (): void => undefined;
  #stopped: Promise<void> = Promise.resolve();
  isStopping = false;

  private constructor(options: FixtureNodeOptions, proxy: TcpProxy, server: Grpc.Server) {
    this.#options = options;
    this.#server = server;
    this.proxy = proxy;
    this.database = options.database ?? new StreamDatabase(options.clockAheadMs);
    this.maxAppendBytes = options.maxAppendBytes ?? 1024 * 1024;
  }

  static async start(options: FixtureNodeOptions = {}): Promise<FixtureNode> {
    const proxy = await TcpProxy.start(0);
    const node = new FixtureNode(options, proxy, new grpc.Server());
    await node.#serve();
    return node;
  }

  get url(): string {
    const { security } = this.#options;
    return security === undefined
      ? `esdb://127.0.0.1:${this.proxy.port}?tls=false`
      : `esdb://${security.user}:${security.password}@localhost:${this.proxy.port}?tls=true`;
  }

  /** Resolves when the node is being stopped. */
  get stopped(): Promise<void> {
    return this.#stopped;
  }

  /** As SIGKILL: connections break, what was committed stays. */
  async kill(): Promise<void> {
    this.isStopping = true;
    await this.proxy.down();
    this.#server.forceShutdown();
    this.#stop();
  }

  /** On the same port again. */
  async restart(): Promise<void> {
    this.#server = new grpc.Server();
    await this.#serve();
    await this.proxy.listen();
  }

  /** Ends all calls politely; new ones are served. */
  endCalls(): void {
    this.isStopping = true;
    this.#stop();
    this.#arm();
  }

  async close(): Promise<void> {
    if (!this.isStopping) await this.kill();
    await this.proxy.close();
  }

  sizeOf({ data, metadata, type }: StoredEvent): number {
    return this.#options.countsEverything === true
      ? data.length + metadata.length + 2 * type.length
      : data.length;
  }

  /** @throws what the server answers a read with that it does not serve */
  checkAccess(metadata: Grpc.Metadata): void {
    if (!this.isReady) throw callFailure(grpc.status.UNAVAILABLE, "Server Is Not Ready");
    const failure = this.accessFailure(metadata) ?? this.notLeader(metadata);
    if (failure !== undefined) throw failure;
  }

  accessFailure(metadata: Grpc.Metadata, mayOnlyRead = true): Grpc.ServiceError | undefined {
    const { security } = this.#options;
    if (security === undefined) return undefined;
    const [given] = metadata.get("authorization");
    const denied = callFailure(grpc.status.PERMISSION_DENIED, "Access Denied", {
      exception: "access-denied",
    });
    if (given === undefined) return denied;
    if (given === basic(security)) return undefined;
    if (security.reader === undefined || given !== basic(security.reader)) return this.unknownUser(metadata);
    return mayOnlyRead ? undefined : denied;
  }

  /** A wrong password fails every call, also those that need no user. */
  unknownUser(metadata: Grpc.Metadata): Grpc.ServiceError | undefined {
    const { security } = this.#options;
    const [given] = metadata.get("authorization");
    if (security === undefined || given === undefined) return undefined;
    const known = [security, ...(security.reader === undefined ? [] : [security.reader])].map(basic);
    return known.includes(String(given)) ? undefined : callFailure(grpc.status.UNAUTHENTICATED, "");
  }

  notLeader(metadata: Grpc.Metadata): Grpc.ServiceError | undefined {
    if (this.isLeader || metadata.get("requires-leader")[0] !== "true") return undefined;
    const leader = this.peers.find((peer) => peer.isLeader && !peer.isStopping);
    if (leader === undefined) return callFailure(grpc.status.UNKNOWN, "No leader info available in response");
    return callFailure(grpc.status.NOT_FOUND, "Leader info available", {
      exception: "not-leader",
      "leader-endpoint-host": "127.0.0.1",
      "leader-endpoint-port": String(leader.proxy.port),
    });
  }

  async #serve(): Promise<void> {
    const { security } = this.#options;
    const { read, batchAppend } = streamsService.StreamsService;
    this.#server.addService(
      { read: { ...read, responseSerialize: serialiseResponse }, batchAppend },
      {
        read: (call: ReadCall) => void serveRead(this, call),
        batchAppend: (call: AppendCall) => serveAppends(this, call),
      },
    );
    this.#server.addService(gossipService.GossipService, {
      read: (call: UnaryCall, answer: Answer<gossipTypes.ClusterInfo>) =>
        answer(this.unknownUser(call.metadata) ?? null, this.#gossip()),
    });
    this.#server.addService(featuresService.ServerFeaturesService, {
      getSupportedMethods: (call: UnaryCall, answer: Answer<object>) => {
        const { version = "23.10.7" } = this.#options;
        const methods = new features.SupportedMethods().setEventStoreServerVersion(version);
        answer(this.unknownUser(call.metadata) ?? null, methods);
      },
    });
    const credentials =
      security === undefined
        ? grpc.ServerCredentials.createInsecure()
        : grpc.ServerCredentials.createSsl(null, [
            { private_key: security.key, cert_chain: security.certificate },
          ]);
    this.proxy.targetPort = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync("127.0.0.1:0", credentials, (failure, port) => {
        if (failure === null) resolve(port);
        else reject(failure);
      });
    });
    this.#arm();
  }

  #arm(): void {
    this.isStopping = false;
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  #gossip(): gossipTypes.ClusterInfo {
    const members = [this, ...this.peers].map((node, index) => {
      const endPoint = new gossip.EndPoint();
      endPoint.setAddress("127.0.0.1");
      endPoint.setPort(node.proxy.port);
      const member = new gossip.MemberInfo();
      member.setInstanceId(uuid(`00000000-0000-4000-8000-00000000000${index}`));
      member.setTimeStamp("0");
      member.setIsAlive(!node.isStopping);
      member.setState(node.isLeader ? LEADER : FOLLOWER);
      member.setHttpEndPoint(endPoint);
      return member;
    });
    return new gossip.ClusterInfo().setMembersList(members);
  }
}

function basic({ user, password }: Credentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

/** Nodes that share what they keep; the first one leads. Reached by all their addresses. */
export async function startCluster(size: number): Promise<{ nodes: FixtureNode[]; url: string }> {
  const database = new StreamDatabase();
  const nodes = await Promise.all(Array.from({ length: size }, () => FixtureNode.start({ database })));
  for (const [index, node] of nodes.entries()) {
    node.isLeader = index === 0;
    node.peers = nodes.filter((each) => each !== node);
  }
  const hosts = nodes.map(({ proxy }) => `127.0.0.1:${proxy.port}`).join(",");
  return { nodes, url: `esdb://${hosts}?tls=false&discoveryInterval=20&maxDiscoverAttempts=5` };
}
