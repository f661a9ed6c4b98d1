/** Cap'n Proto RPC for pages. docs/browser.md has a first program. */

/** What may be a parameter or a result. Integers of 64 bits come as bigint, Data as Uint8Array, null pointers as null. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Capability
  | Results
  | Value[]
  | { [field: string]: Value };

/** Parameters or results of a method, by the names of their fields. */
export type Struct = { [field: string]: any };

/** An object of the server's, or of the page's, with the methods of its interface. It is let go when the browser finds that
 * nobody can use it, or by {@link Vat.release}. A method `then` cannot be called. */
export type Capability = { [method: string]: (parameters?: Struct) => Results };

/** Results of a call: a promise of them, and of what is in them. Methods of capabilities in them can be called at once
 * (pipelining), and they can be parameters of other calls before they are there. */
export interface Results extends PromiseLike<any> {
  catch(rejected: (error: RpcError) => any): Promise<any>;
  finally(settled: () => void): Promise<any>;
  [field: string]: any;
}

/** The page's own object: methods by name. Streaming methods are told the next value once their promise is fulfilled. */
export interface Exported {
  [method: string]: ((parameters: any) => Struct | void | Promise<Struct | void>) | undefined;
}

export interface Options {
  /** What `capnp compile -o- FILE.capnp` writes: its bytes, or where they are. */
  schema: string | URL | Uint8Array | ArrayBuffer;
  /** The module, if it is not beside aqueduct.js. */
  module?: string | URL | Uint8Array | ArrayBuffer | WebAssembly.Module;
}

/** Connects to a path of the page's own server, or to a ws: or wss: URL. Rejected with the reason if there is no connection. */
export function connect(url: string | URL, options: Options): Promise<Vat>;

/** One connection. */
export interface Vat {
  /** What the server offers to everybody, as an interface of the schema, by its name in the file: `Calculator.Value`. */
  bootstrap(interfaceName: string): Capability;
  /** The same capability as an interface that the schema does not say where it came from. */
  as(capability: Capability | Results, interfaceName: string): Capability;
  /** An object of the page's, for the server to call. `released` is called when the server holds it no more. */
  export(interfaceName: string, object: Exported): Capability;
  /** Lets go of a capability, or gives up a call, whose promise is rejected. */
  release(what: Capability | Results): void;
  /** Ends the connection. */
  close(): void;
  /** Fulfilled with the reason once the connection is over. */
  readonly closed: Promise<string>;
}

/** A call failed: whether to report it, try later, connect again, or use another method. */
export class RpcError extends Error {
  readonly kind: "failed" | "overloaded" | "disconnected" | "unimplemented";
}
