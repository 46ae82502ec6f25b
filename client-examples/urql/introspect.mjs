// Writes what graphcache needs to know of the schema, from the SDL.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { minifyIntrospectionQuery } from '@urql/introspection';
import { buildSchema, introspectionFromSchema } from 'graphql';

const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
const minified = minifyIntrospectionQuery(introspectionFromSchema(schema));
mkdirSync('src/generated', { recursive: true });
writeFileSync(
  'src/generated/introspection.ts',
  `export const introspection = ${JSON.stringify(minified)} as const;\n`,
);
