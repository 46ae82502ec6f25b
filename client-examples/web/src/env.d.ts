/** `Server.schemaHash` of the schema that this page is built for: see `vite.config.ts`. */
declare const __SCHEMA_HASH__: string;
