// The checkout of checkout.py in Node: `node checkout.js [--racy] [--without-key] [--repeat]`; the options are the same.
'use strict';
const { Client } = require('pg');

const PRICE = 10;
const options = process.argv.slice(2);
const key = `click ${process.env.CHAOS_WORKER || 1}`;

async function order(client) {
  await client.query('BEGIN');
  if (options.includes('--without-key')) {
    await client.query('INSERT INTO orders (key) VALUES ($1)', [key]);
  } else {
    const taken = await client.query('INSERT INTO orders (key) VALUES ($1) ON CONFLICT DO NOTHING RETURNING key', [key]);
    if (taken.rows.length === 0) return client.query('COMMIT'); // it was taken before
  }
  const lock = options.includes('--racy') ? '' : ' FOR UPDATE';
  const { rows } = await client.query('SELECT pieces FROM stock WHERE id = 1' + lock);
  if (rows[0].pieces < 1) {
    await client.query('ROLLBACK');
    process.exitCode = 3;
    return undefined;
  }
  await client.query('UPDATE stock SET pieces = $1 WHERE id = 1', [rows[0].pieces - 1]);
  await client.query('INSERT INTO payment (key, amount) VALUES ($1, $2)', [key, PRICE]);
  return client.query('COMMIT');
}

async function main() {
  for (let left = options.includes('--repeat') ? 2 : 0; ; left--) {
    const client = new Client(process.env.DATABASE_URL ? { connectionString: process.env.DATABASE_URL } : {});
    client.on('error', () => {}); // the query that waits is told of it, too
    try {
      await client.connect();
      await order(client);
      await client.end();
      return;
    } catch (error) {
      // an error of the server has a code of five characters
      const lost = !/^[0-9A-Z]{5}$/.test(error.code || '');
      if (!lost || left === 0) throw error;
    }
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
