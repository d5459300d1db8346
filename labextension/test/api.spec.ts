// What is asked of the server, and what is made of its answers.
import { expect, test } from 'vitest';

import { fakeApi, notYet, refusal, response } from './fakes';

/** A server of which every answer is the same, and what it was told of the one before. */
function unchanging(body: string) {
  const tags: (string | null)[] = [];
  const api = fakeApi((_, headers) => {
    const tag = headers.get('If-None-Match');
    tags.push(tag);
    return tag ? response(304, '') : response(200, body, { ETag: 'W/"1"' });
  });
  return { api, tags };
}

test('an answer that has not changed is not sent again', async () => {
  const { api, tags } = unchanging('{"x":1}');
  const first = await api.get<{ x: number }>('catalog', { repo: 'a' });
  const again = await api.get<{ x: number }>('catalog', { repo: 'a' });

  expect(tags).toEqual([null, 'W/"1"']);
  expect(again.value).toBe(first.value);
});

test('answers are kept up to a number of bytes, the oldest go', async () => {
  const { api, tags } = unchanging(JSON.stringify('x'.repeat(6_000_000)));
  for (const repo of ['a', 'b', 'a', 'c', 'a', 'b']) {
    await api.get('catalog', { repo });
  }

  expect(tags).toEqual([null, null, 'W/"1"', null, 'W/"1"', null]);
});

test('an answer that is not there yet is no refusal', async () => {
  const api = fakeApi(() => notYet('starting'));

  await expect(api.get('catalog')).rejects.toMatchObject({
    state: 'starting',
    message: 'ask again'
  });
});

test('a refusal carries its reason and one line', async () => {
  const api = fakeApi(() => refusal(404, 'FeatureError', 'no view'));

  await expect(api.get('lineage')).rejects.toMatchObject({
    status: 404,
    reason: 'FeatureError',
    message: 'no view'
  });
});

test('an answer that is no JSON is refused', async () => {
  const api = fakeApi(() => response(502, '<html>a proxy</html>'));

  await expect(api.get('catalog')).rejects.toMatchObject({
    status: 502,
    message: 'the server answers 502'
  });
});
