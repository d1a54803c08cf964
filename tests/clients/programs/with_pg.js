// Six races in node-postgres: `node with_pg.js lost_update racy`, or `repaired`; see dbapi.py.
'use strict';
const { Client } = require('pg');

const WORKER = Number(process.env.CHAOS_WORKER || 1);

const RACES = {
  async lost_update(client, repaired) {
    const { rows } = await client.query('SELECT balance FROM account WHERE id = $1' + (repaired ? ' FOR UPDATE' : ''), [1]);
    await client.query('UPDATE account SET balance = $1 WHERE id = 1', [rows[0].balance + 10]);
  },
  async check_then_insert(client, repaired) {
    if (repaired) await client.query('SELECT FROM room WHERE id = 7 FOR UPDATE');
    const { rows } = await client.query('SELECT count(*)::int AS booked FROM booking WHERE room = 7');
    if (rows[0].booked === 0) await client.query('INSERT INTO booking (room, guest) VALUES (7, $1)', [WORKER]);
  },
  async write_skew(client, repaired) {
    if (repaired) await client.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
    const { rows } = await client.query('SELECT count(*)::int AS here FROM doctor WHERE on_call');
    if (rows[0].here > 1) await client.query('UPDATE doctor SET on_call = false WHERE id = $1', [WORKER]);
  },
  async get_or_create(client, repaired) {
    if (repaired) {
      await client.query("INSERT INTO tag (name) VALUES ('news') ON CONFLICT DO NOTHING");
      await client.query("SELECT id FROM tag WHERE name = 'news'");
      return;
    }
    const { rows } = await client.query("SELECT id FROM tag WHERE name = 'news'");
    if (rows.length === 0) await client.query("INSERT INTO tag (name) VALUES ('news')");
  },
  async double_claim(client, repaired) {
    const skip = repaired ? ' FOR UPDATE SKIP LOCKED' : '';
    const { rows } = await client.query('SELECT id FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1' + skip);
    await client.query('UPDATE job SET taken_by = $1 WHERE id = $2', [WORKER, rows[0].id]);
    await client.query('INSERT INTO done (job) VALUES ($1)', [rows[0].id]);
  },
  async deadlock(client, repaired) {
    const order = WORKER === 1 || repaired ? [1, 2] : [2, 1];
    for (const account of order) {
      await client.query('UPDATE account SET balance = balance + $1 WHERE id = $2', [account === WORKER ? -5 : 5, account]);
    }
  },
};

async function main() {
  const [race, form] = process.argv.slice(2);
  const client = new Client(process.env.DATABASE_URL ? { connectionString: process.env.DATABASE_URL } : {});
  await client.connect();
  for (let tries = 0; tries < 10; tries++) {
    try {
      await client.query('BEGIN');
      await RACES[race](client, form === 'repaired');
      await client.query('COMMIT');
      break;
    } catch (error) {
      if (form !== 'repaired' || error.code !== '40001') throw error;
      await client.query('ROLLBACK');
    }
  }
  await client.end();
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
