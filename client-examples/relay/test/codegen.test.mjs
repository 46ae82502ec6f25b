import test from 'node:test';

import { relayGivesTheSame } from '../../harness/types.mjs';

test('the SDL and introspection give the same types', relayGivesTheSame);
