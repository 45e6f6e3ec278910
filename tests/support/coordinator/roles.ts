/** Roles of a launch document, short. */
export function task(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'task', command: ['true'], ...more }
}
export function service(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'service', command: ['serve'], ...more }
}
export function torchrun(shape: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'torchrun', shape, command: ['train.py'], ...more }
}
