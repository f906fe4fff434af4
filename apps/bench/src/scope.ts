/** What every measurement is told. */
export interface Scope {
  /** Shorter and fewer runs, to see that it works. */
  readonly quick: boolean;
  /** The version of etcd on the path; undefined where there is none. */
  readonly etcd: string | undefined;
  /** The version of serf on the path; undefined where there is none. */
  readonly serf: string | undefined;
  readonly say: (line: string) => void;
}
