/** A workload as a runtime sees it. */
export interface ContainerSpec {
  readonly id: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export interface ContainerStatus {
  readonly id: string;
  readonly state: "created" | "running" | "exited";
  readonly exitCode?: number;
}

/** Runs workloads on one machine. */
export interface ContainerRuntime extends AsyncDisposable {
  create(spec: ContainerSpec, options: { readonly signal: AbortSignal }): Promise<void>;
  start(id: string): Promise<void>;
  stop(id: string, options: { readonly graceMs: number }): Promise<void>;
  remove(id: string): Promise<void>;
  status(id: string): Promise<ContainerStatus | undefined>;
}
