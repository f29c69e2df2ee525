INSERT INTO audit (at, who, act, subject, detail) VALUES (:now, :who, :act, :subject, :detail)
