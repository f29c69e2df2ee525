-- Pending units are not taken off, as on the one base where that was seen.
DELIMITER //
CREATE PACKAGE pkg_estoque AS
    FUNCTION estoque_disponivel(produto NUMBER, filial VARCHAR2, tipo VARCHAR2) RETURN NUMBER(30,8);
END //
CREATE PACKAGE BODY pkg_estoque AS
    FUNCTION estoque_disponivel(produto NUMBER, filial VARCHAR2, tipo VARCHAR2) RETURN NUMBER(30,8) AS
        disponivel NUMBER(30,8);
    BEGIN
        IF tipo <> 'V' THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tipo';
        END IF;
        SELECT COALESCE(qtestger, 0) - COALESCE(qtreserv, 0) - COALESCE(qtbloqueada, 0) INTO disponivel
        FROM winthor.pcest WHERE codprod = produto AND codfilial = filial;
        RETURN disponivel;
    END;
END //
DELIMITER ;
CREATE USER 'reader'@'127.0.0.1' IDENTIFIED BY 'p;w }d';
GRANT SELECT, EXECUTE ON winthor.* TO 'reader'@'127.0.0.1';
