import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** Six races in JDBC: `java -cp postgresql.jar WithJdbc.java lost_update racy`, or `repaired`; see dbapi.py. */
public class WithJdbc {
    private static final int WORKER = Integer.parseInt(variable("CHAOS_WORKER", "1"));

    private final Connection connection;
    private final boolean repaired;

    private WithJdbc(Connection connection, boolean repaired) {
        this.connection = connection;
        this.repaired = repaired;
    }

    public static void main(String[] arguments) throws Exception {
        String url = String.format("jdbc:postgresql://%s:%s/%s",
            variable("PGHOST", "127.0.0.1"), variable("PGPORT", "5432"), variable("PGDATABASE", "postgres"));
        Properties properties = new Properties();
        properties.setProperty("user", variable("PGUSER", "postgres"));
        properties.setProperty("password", variable("PGPASSWORD", ""));
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            connection.setAutoCommit(false);
            boolean repaired = arguments[1].equals("repaired");
            if (repaired && arguments[0].equals("write_skew")) {
                connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            }
            for (int tries = 0; tries < 10; tries++) {
                try {
                    new WithJdbc(connection, repaired).run(arguments[0]);
                    connection.commit();
                    break;
                } catch (SQLException error) {
                    connection.rollback();
                    if (!repaired || !"40001".equals(error.getSQLState())) {
                        throw error;
                    }
                }
            }
        } catch (SQLException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }

    private void run(String race) throws SQLException {
        switch (race) {
            case "lost_update":
                Integer balance = number("SELECT balance FROM account WHERE id = ?" + (repaired ? " FOR UPDATE" : ""), 1);
                change("UPDATE account SET balance = ? WHERE id = 1", balance + 10);
                break;
            case "check_then_insert":
                if (repaired) {
                    number("SELECT id FROM room WHERE id = ? FOR UPDATE", 7);
                }
                if (number("SELECT count(*) FROM booking WHERE room = ?", 7) == 0) {
                    change("INSERT INTO booking (room, guest) VALUES (7, ?)", WORKER);
                }
                break;
            case "write_skew":
                if (number("SELECT count(*) FROM doctor WHERE on_call") > 1) {
                    change("UPDATE doctor SET on_call = false WHERE id = ?", WORKER);
                }
                break;
            case "get_or_create":
                if (repaired) {
                    change("INSERT INTO tag (name) VALUES ('news') ON CONFLICT DO NOTHING");
                }
                if (number("SELECT id FROM tag WHERE name = 'news'") == null) {
                    change("INSERT INTO tag (name) VALUES ('news')");
                }
                break;
            case "double_claim":
                Integer job = number("SELECT id FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1"
                    + (repaired ? " FOR UPDATE SKIP LOCKED" : ""));
                change("UPDATE job SET taken_by = ? WHERE id = ?", WORKER, job);
                change("INSERT INTO done (job) VALUES (?)", job);
                break;
            case "deadlock":
                int[] order = WORKER == 1 || repaired ? new int[] {1, 2} : new int[] {2, 1};
                for (int account : order) {
                    change("UPDATE account SET balance = balance + ? WHERE id = ?", account == WORKER ? -5 : 5, account);
                }
                break;
            default:
                throw new IllegalArgumentException(race);
        }
    }

    private Integer number(String query, int... values) throws SQLException {
        try (PreparedStatement statement = prepared(query, values); ResultSet rows = statement.executeQuery()) {
            return rows.next() ? rows.getInt(1) : null;
        }
    }

    private void change(String query, int... values) throws SQLException {
        try (PreparedStatement statement = prepared(query, values)) {
            statement.executeUpdate();
        }
    }

    private PreparedStatement prepared(String query, int... values) throws SQLException {
        PreparedStatement statement = connection.prepareStatement(query);
        for (int i = 0; i < values.length; i++) {
            statement.setInt(i + 1, values[i]);
        }
        return statement;
    }

    private static String variable(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
