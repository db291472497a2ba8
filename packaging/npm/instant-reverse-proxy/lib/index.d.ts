/** What a tunnel is to be. */
export interface UpOptions {
  /** The port of this machine at which your program listens. */
  port?: number;
  /** Where requests go instead, as `irp up` takes it: `localhost:3000`, `https://…`, `unix:/PATH`. */
  upstream?: string;
  /** Run the edge on this machine, at a name below `localhost`: no AWS, and no visitors from elsewhere. */
  local?: boolean;
  /** The first label of the public name. Default: your user name. */
  name?: string;
  /** Webhook providers whose signature is checked at the edge: `"slack"`, `["slack", "github=/hooks"]`. */
  verify?: string | string[];
  /** More flags of `irp up`. */
  args?: string[];
  /** More variables, for instance the signing secret that `verify` wants. */
  env?: Record<string, string>;
  /** Ends the tunnel when it is aborted. */
  signal?: AbortSignal;
  /** Let irp's log through to stderr. */
  log?: boolean;
  /** Called with each thing that happens, as `irp --json` prints it. */
  onEvent?: (event: IrpEvent) => void;
}

/** Something that happened: `connected`, `request`, `lost`, … and its fields. */
export interface IrpEvent {
  event: string;
  [field: string]: unknown;
}

/** A tunnel that stands. */
export interface Tunnel {
  /** The public URL, without a slash at its end. */
  readonly url: string;
  /** Where requests go. */
  readonly upstream: string;
  /** Resolves when the tunnel was closed; rejects with an `IrpError` when it ended by itself. */
  readonly closed: Promise<void>;
  /** Lets requests under way finish, except on Windows, and ends the tunnel. */
  close(): Promise<void>;
}

/** Why there is no tunnel, or no more. */
export class IrpError extends Error {
  readonly name: "IrpError";
  /** `user`, `config`, `cloud`, `network`, `refused`, `taken-over` or `internal`. */
  readonly kind: string;
  readonly causes: string[];
  /** What to do now. */
  readonly hints: string[];
  /** As `irp --help` tells them. */
  readonly exitCode: number;
}

/** There is no program of irp for this platform, or its package is not installed. */
export class MissingProgram extends Error {
  readonly name: "MissingProgram";
}

/** Starts a tunnel; resolves once visitors can come, rejects with an `IrpError`. */
export function up(options?: UpOptions): Promise<Tunnel>;

/** The certificate, PEM, of the authority that signs for `up({ local: true })`. */
export function localAuthority(): Promise<string>;
