import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isFault } from '../../../../src/protocol/faults.ts'
import {
  fillTemplate,
  templateNames,
  type TemplateContext,
} from '../../../../src/protocol/launch/templates.ts'

const context: TemplateContext = {
  ports: [10_001, 10_002],
  host: '10.0.0.1',
  index: 3,
  attempt: 2,
  node: 'n0',
  run: 'x-0123456789ab',
  roles: {
    web: { addr: '10.0.0.2:80', addrs: ['10.0.0.2:80', '10.0.0.3:80'] },
    idle: { addr: null, addrs: [] },
  },
}

test.each([
  ['--port=${{ port.1 }}', '--port=10002'],
  ['${{port.0}}${{  port.1  }}', '1000110002'],
  ['http://${{ roles.web.addr }}/', 'http://10.0.0.2:80/'],
  ['${{ roles.web.addrs }}', '10.0.0.2:80,10.0.0.3:80'],
  ['${{ node }} ${{ host }} ${{ index }} ${{ attempt }} ${{ run }}', 'n0 10.0.0.1 3 2 x-0123456789ab'],
  ['$${{ port.0 }}', '${{ port.0 }}'],
  ['$HOME ${HOME} $(id) {{ x }} $ {{', '$HOME ${HOME} $(id) {{ x }} $ {{'],
])('%s', (text, filled) => {
  expect(fillTemplate(text, context)).toBe(filled)
})

test.each([
  '${{ port.2 }}',
  '${{ roles.nobody.addr }}',
  '${{ roles.idle.addr }}',
  '${{ roles.constructor.addr }}',
  '${{ nothing }}',
  '${{ port.0',
  '${{}}',
  '${{ toString }}',
])('%s has no value: WORKER_CONFIG [A-18]', (text) => {
  expect(() => fillTemplate(text, context)).toThrow(
    expect.objectContaining({ code: 'WORKER_CONFIG' }) as Error,
  )
})

test('a value is inserted, never expanded again', () => {
  const roles = { web: { addr: '${{ port.0 }}$&$1', addrs: [] } }
  expect(fillTemplate('a ${{ roles.web.addr }} b', { ...context, roles })).toBe('a ${{ port.0 }}$&$1 b')
})

test('the names in a text; escaped ones are none', () => {
  expect(templateNames('${{ port.0 }} $${{ x }} ${{ roles.a.addr }} ${{')).toEqual([
    'port.0',
    'roles.a.addr',
    null,
  ])
})

test('any text is filled or refused, and a text without places stays', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc
          .array(fc.constantFrom('$', '{', '}', '{{', '}}', '${{', ' ', 'port.0', 'x'))
          .map((parts) => parts.join('')),
      ),
      (text) => {
        try {
          const filled = fillTemplate(text, context)
          if (!text.includes('${{')) expect(filled).toBe(text)
        } catch (error) {
          expect(isFault(error, 'WORKER_CONFIG')).toBe(true)
        }
      },
    ),
    { numRuns: 500 },
  )
})
