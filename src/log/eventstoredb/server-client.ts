import { readFileSync } from "node:fs";
import { type ChannelCredentialOptions, EventStoreDBClient } from "@eventstore/db-client";
import type { ConnectionOptions } from "@eventstore/db-client/dist/Client/parseConnectionString.js";
import connectionStrings from "@eventstore/db-client/dist/Client/parseConnectionString.js";
import gossipService from "@eventstore/db-client/generated/gossip_grpc_pb.js";
import type { MemberInfo } from "@eventstore/db-client/generated/gossip_pb.js";
import featuresService from "@eventstore/db-client/generated/serverfeatures_grpc_pb.js";
import sharedMessages from "@eventstore/db-client/generated/shared_pb.js";
import type { StreamsClient } from "@eventstore/db-client/generated/streams_grpc_pb.js";
import streamsService from "@eventstore/db-client/generated/streams_grpc_pb.js";
import type { CallOptions, Metadata } from "@grpc/grpc-js";
import { StoreError } from "../../errors.ts";
import { type ConnectionSettings, invalidConnectionString } from "./connection-settings.ts";
import { causeText, hungUp } from "./server-failure.ts";

/** Of a node's states in gossip. */
const LEADER_STATE = 8;

/** Metadata and options of a gRPC call. */
export type CallArguments = [Metadata, CallOptions];

/**
 * The client's discovery, security and channel, with its service stubs instead of its methods on top. The
 * methods are not used because their pending appends are one map for all clients of the process (when one server
 * fails, another's appends are rejected and an exception escapes that nobody can catch), because nothing ends an
 * append or a read that the server does not answer, and because `readAll` cannot filter.
 */
export class ServerClient extends EventStoreDBClient {
  #isConnected = false;

  /** The stub of the node in use now: connects, and finds the leader, where that has not been done. */
  async streams(): Promise<StreamsClient> {
    const client = await this.execute(streamsService.StreamsClient, "streams", async (client) => client);
    this.#isConnected = true;
    return client;
  }

  /** For a call that ends by our own timers: the client's deadlines do not reach streams. */
  arguments(): CallArguments {
    return this.callArguments({ requiresLeader: true }, { deadline: Infinity });
  }

  /** Tells what a call failed of. Where it says so, the next call goes to the leader, or looks for another node. */
  async report(client: StreamsClient, failure: Error): Promise<void> {
    // What goes wrong while looking for another node, the next call meets again.
    await this.handleError(client, failure).catch(() => undefined);
  }

  /** Gives the channel up: the server does not answer on it. */
  async reconnect(client: StreamsClient): Promise<void> {
    await this.report(client, hungUp());
  }

  /** Closes the channel. Calls that are under way end by themselves. */
  async disconnect(): Promise<void> {
    if (!this.#isConnected) return;
    const channel = await this.getChannel().catch(() => undefined);
    channel?.close();
  }

  /** Such as 23.10.7. */
  async serverVersion(): Promise<string> {
    const features = await this.execute(
      featuresService.ServerFeaturesClient,
      "features",
      async (client) => client,
    );
    return new Promise((resolve, reject) => {
      features.getSupportedMethods(new sharedMessages.Empty(), ...this.arguments(), (failure, methods) => {
        if (failure === null) resolve(methods.getEventStoreServerVersion());
        else reject(failure);
      });
    });
  }

  /** The nodes of the cluster, as the node in use knows them. */
  async members(): Promise<readonly ClusterMember[]> {
    const gossip = await this.execute(gossipService.GossipClient, "gossip", async (client) => client);
    return new Promise((resolve, reject) => {
      gossip.read(new sharedMessages.Empty(), ...this.arguments(), (failure, info) => {
        if (failure === null) resolve(info.getMembersList().map(toMember));
        else reject(failure);
      });
    });
  }
}

export interface ClusterMember {
  readonly address: string;
  readonly isLeader: boolean;
  readonly isAlive: boolean;
}

function toMember(member: MemberInfo): ClusterMember {
  const endPoint = member.getHttpEndPoint();
  return {
    address: `${endPoint?.getAddress() ?? "?"}:${endPoint?.getPort() ?? "?"}`,
    isLeader: member.getState() === LEADER_STATE,
    isAlive: member.getIsAlive(),
  };
}

/**
 * @throws {InvalidInputError} `invalid-connection-string`
 * @throws {StoreError} `tls-failed` for certificate files that cannot be read
 */
export function createServerClient(settings: ConnectionSettings): ServerClient {
  const parsed = parse(settings);
  const { hosts, dnsDiscover, defaultCredentials, tls, tlsCAFile, userCertFile, userKeyFile, ...options } =
    parsed;
  const [first] = hosts;
  if (first === undefined) throw invalidConnectionString(settings.serverName, "it names no host");
  const security: ChannelCredentialOptions = { insecure: tls === false };
  if (tls !== false) {
    if (tlsCAFile !== undefined) security.rootCertificate = readCertificate(tlsCAFile, settings);
    if (userCertFile !== undefined) security.userCertFile = readCertificate(userCertFile, settings);
    if (userKeyFile !== undefined) security.userKeyFile = readCertificate(userKeyFile, settings);
  }
  try {
    if (dnsDiscover) return new ServerClient({ ...options, discover: first }, security, defaultCredentials);
    if (hosts.length > 1)
      return new ServerClient({ ...options, endpoints: hosts }, security, defaultCredentials);
    return new ServerClient({ ...options, endpoint: first }, security, defaultCredentials);
  } catch (failure) {
    throw invalidConnectionString(settings.serverName, causeText(failure));
  }
}

function parse(settings: ConnectionSettings): ConnectionOptions {
  try {
    return connectionStrings.parseConnectionString(settings.connectionString);
  } catch {
    // The client's own message shows the password.
    throw invalidConnectionString(
      settings.serverName,
      "its hosts or its parameters are not of the form that the client reads",
    );
  }
}

function readCertificate(path: string, settings: ConnectionSettings): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new StoreError(
      "tls-failed",
      `The certificate file ${path} for ${settings.serverName} cannot be read: ${causeText(cause)}.`,
      { cause },
    );
  }
}
