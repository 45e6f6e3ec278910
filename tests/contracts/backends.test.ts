import { joinBackend } from '../../src/backends/join.ts'
import { localBackend } from '../../src/backends/local.ts'
import { backendContract } from './backend.contract.ts'

backendContract('join', joinBackend)
backendContract('local', localBackend)
