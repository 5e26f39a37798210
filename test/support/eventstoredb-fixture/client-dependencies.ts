import { createRequire } from "node:module";
import type * as Grpc from "@grpc/grpc-js";
import type * as AnyPb from "google-protobuf/google/protobuf/any_pb.js";

/**
 * gRPC and protobuf as the client itself has them: they are its dependencies, not ours, and its generated service
 * definitions work with these copies only.
 */
const requireAsClient = createRequire(createRequire(import.meta.url).resolve("@eventstore/db-client"));

export const grpc = requireAsClient("@grpc/grpc-js") as typeof Grpc;
export const anyPb = requireAsClient("google-protobuf/google/protobuf/any_pb.js") as typeof AnyPb;
