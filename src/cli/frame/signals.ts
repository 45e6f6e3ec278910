/** Ctrl-C, SIGTERM and a closed terminal as one signal, for the commands that stay in the foreground. */

/** @param onAgain  told when it comes once more */
export function untilInterrupted(onAgain: () => void = () => {}): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      if (controller.signal.aborted) onAgain()
      controller.abort(name)
    })
  return controller.signal
}
