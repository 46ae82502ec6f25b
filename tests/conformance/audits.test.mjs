// graphql-http's audits for the GraphQL over HTTP specification, also those of what a server should or may do.
import assert from 'node:assert/strict';
import test from 'node:test';

import { serverAudits } from 'graphql-http';

import { GRAPHQL } from './people.mjs';

const audits = serverAudits({ url: GRAPHQL, fetchFn: fetch });

test('the audits are there', () => assert.ok(audits.length > 60));
for (const { id, name, fn } of audits) {
  test(`${id}: ${name}`, async () => {
    const { status, reason } = await fn();
    assert.equal(status, 'ok', reason);
  });
}
