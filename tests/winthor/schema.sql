-- The tables of a small WinThor, in Oracle's spelling. The rig puts PostgreSQL's type names in their place there.
CREATE TABLE pcfilial (codigo VARCHAR2(2) NOT NULL PRIMARY KEY, razaosocial VARCHAR2(40));
CREATE TABLE pcprodut (
    codprod NUMBER(6,0) NOT NULL PRIMARY KEY, codauxiliar NUMBER(20,0), dtcadastro DATE, dtultalter DATE, dtexclusao DATE,
    enviaecommerce VARCHAR2(1), exibesemestoqueecommerce VARCHAR2(1), revenda VARCHAR2(1), tipomerc VARCHAR2(2),
    codcategoria NUMBER(6,0), codsubcategoria NUMBER(6,0), codsec NUMBER(6,0), codepto NUMBER(6,0), codfornec NUMBER(6,0)
);
CREATE TABLE pcest (
    codfilial VARCHAR2(2) NOT NULL, codprod NUMBER(6,0) NOT NULL, qtestger NUMBER(22,8), qtreserv NUMBER(22,8),
    qtbloqueada NUMBER(20,6), qtpendente NUMBER(16,3), dtprimcompra DATE, dthoraultaltdisp DATE,
    PRIMARY KEY (codfilial, codprod)
);
CREATE TABLE pcembalagem (
    codauxiliar NUMBER(20,0) NOT NULL, codfilial VARCHAR2(2) NOT NULL, codprod NUMBER(6,0), qtunit NUMBER(18,6),
    fatorconversao NUMBER(20,8), excluido VARCHAR2(1), dtinativo DATE, enviaecommerce VARCHAR2(1),
    PRIMARY KEY (codauxiliar, codfilial)
);
CREATE TABLE pcpedc (
    numped NUMBER(10,0) NOT NULL PRIMARY KEY, codfilial VARCHAR2(2), posicao VARCHAR2(2), numpedmktplace VARCHAR2(150),
    numpedcli VARCHAR2(15)
);
CREATE TABLE pcpedi (
    numped NUMBER(10,0) NOT NULL, numseq NUMBER(6,0) NOT NULL, codprod NUMBER(6,0), qt NUMBER(20,6),
    codfilialretira VARCHAR2(2), PRIMARY KEY (numped, numseq)
);
