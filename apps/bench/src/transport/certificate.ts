import { createPrivateKey } from "node:crypto";
import { connect } from "node:tls";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";

/** RFC 8410, section 7: an ed25519 private key in PKCS #8, up to the 32 bytes of its seed. */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** Key and certificate as `node:tls` takes them. */
export interface Credentials {
  readonly key: string;
  readonly cert: string;
}

/** The very certificate that a transport with this seed presents, looked at through its own door. */
export async function credentialsOf(seed: Uint8Array): Promise<Credentials> {
  await using transport = tlsTransport({
    privateKey: seed,
    listen: ["127.0.0.1:0"],
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  const port = Number(transport.listening()[0]?.split(":").at(-1));
  const raw = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ALPNProtocols: ["revoada/join/1"], rejectUnauthorized: false });
    socket.once("secureConnect", () => {
      resolve(socket.getPeerCertificate().raw);
      socket.destroy();
    });
    socket.once("error", reject);
  });
  const cert = `-----BEGIN CERTIFICATE-----\n${raw.toString("base64")}\n-----END CERTIFICATE-----\n`;
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" });
  return { key: key.export({ format: "pem", type: "pkcs8" }) as string, cert };
}
