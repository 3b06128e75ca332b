import { rmSync } from 'node:fs';

export default function tearDown(): void {
  const announced = process.env['BROKER_TEST_RUN'];
  if (announced === undefined) return;
  const { folder } = JSON.parse(announced) as { folder: string };
  rmSync(folder, { recursive: true, force: true });
}
