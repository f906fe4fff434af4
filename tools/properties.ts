/**
 * Runs before every test file: properties are tried with the same values each time, so that a test which passes today passes
 * tomorrow. Whoever wants others sets `REVOADA_PROPERTY_SEED`.
 */
import fc from "fast-check";

const seed = Number(process.env["REVOADA_PROPERTY_SEED"] ?? 20_260_101);
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
