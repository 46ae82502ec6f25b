import { initGraphQLTada } from 'gql.tada';

import type { introspection } from './generated/schema.js';

/** Parses an operation and tells TypeScript the types of its variables and of its data. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { DateTime: string; ID: string; JSON: unknown };
}>();
